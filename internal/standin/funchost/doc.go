// Package funchost stands in for the Azure Functions host of a custom handler on one machine: it reads a staged folder (host.json, the
// executable, one <Function>/function.json a function), runs the executable and invokes it over the host's protocol with its traps.
//
// Nothing here was compared with Azure: it follows Microsoft's documentation and the host's source as they were read. Known differences:
//   - Only timerTrigger, httpTrigger with the http output, and serviceBusTrigger exist. Other bindings, retry policies, sessions, batches and
//     messages that the function completes itself are refused at the start, where the real host would serve them.
//   - Of host.json count version, functionTimeout, customHandler, the routePrefix, and of serviceBus maxConcurrentCalls (16 unless given, not
//     times the cores), maxAutoLockRenewalDuration and autoCompleteMessages. The rest (prefetch, client retries, concurrency, logging, the
//     extension bundle) is ignored. The folder is read once; the real host restarts when it changes.
//   - The handler's environment is the settings, PATH, HOME and TMPDIR; the real host hands on its own.
//   - One process serves every function; scaling, and the separate instances of Flex Consumption, do not exist.
//   - Timers need no AzureWebJobsStorage: no singleton lock, and what the monitor knew of earlier runs comes from Options.LastRuns.
//   - Answers to HTTP callers are not capped at 230 s, which is the front end's, nor proxied ones when nothing moves for 240 s.
//   - A wrong method on a known route answers 404, as the real host does. Routes follow http.ServeMux: literals match by case, GET
//     serves HEAD too, paths with double slashes are redirected, constraints ({id:guid}) are refused.
//   - Guesses where nothing could be read: 502 when a proxied handler cannot be reached, 500 when an invocation fails, 204 for an
//     envelope function without an http output in its answer. The legacy forwarding streams the answer; only its request is rebuilt.
//   - A request without a traceparent gets one that is not sampled. Identities is always empty, Client.Identifier the function's name, and a
//     message without a time to live has no ExpiresAt.
//   - <name>__fullyQualifiedNamespace connections cannot work without Microsoft Entra and are refused.
//   - Keys come from Options, and so do built-in authentication and managed identities, which are App Service's. Of the admin API there are
//     only /admin/host/ping and POST /admin/functions/<timer function>.
//   - Messages in flight when the host stops stay locked until their locks expire, as when an instance is lost; nothing is drained.
//   - The handler is stopped with SIGKILL, with its process group; unix only. A host that is killed itself leaves its handler behind,
//     but not on Linux.
package funchost
