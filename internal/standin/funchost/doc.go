// Package funchost stands in for the Azure Functions host of a custom handler on one machine: it reads a staged folder (host.json, the
// executable, one <Function>/function.json a function), runs the executable and invokes it over the host's protocol with its traps.
//
// Nothing here was compared with Azure: it follows Microsoft's documentation and the host's source as they were read. Known differences:
//   - Only timerTrigger, httpTrigger with the http output, and serviceBusTrigger (no sessions, no batches, automatic completion) exist.
//     What is not supported is refused at the start, where the real host would serve it or ignore it silently.
//   - One process serves every function; scaling, and the separate instances of Flex Consumption, do not exist.
//   - Timers need no AzureWebJobsStorage: no singleton lock, and what the monitor knew of earlier runs comes from Options.LastRuns.
//   - Answers to HTTP callers are not capped at 230 s: that cap is the front end's.
//   - A wrong method on a known route answers 404, as the real host does. Routes follow http.ServeMux: literals match by case, GET
//     serves HEAD too, paths with double slashes are redirected, constraints ({id:guid}) are refused.
//   - Guesses where nothing could be read: 502 when a proxied handler cannot be reached, 500 when an invocation fails, 204 for an
//     envelope function without an http output in its answer. The legacy forwarding streams the answer; only its request is rebuilt.
//   - <name>__fullyQualifiedNamespace connections cannot work without Microsoft Entra and are refused.
//   - Keys come from Options; of the admin API there are only /admin/host/ping and POST /admin/functions/<timer function>.
//   - Messages in flight when the host stops stay locked until their locks expire, as when an instance is lost; nothing is drained.
//   - The handler is stopped with SIGKILL, with its process group; unix only. A host that is killed itself
//     leaves its handler behind, but not on Linux.
package funchost
