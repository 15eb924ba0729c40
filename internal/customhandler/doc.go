// Package customhandler speaks the custom-handler protocol of Azure Functions, so that a trigger is a plain Go function.
//
// The Functions host starts this program and calls it over HTTP on 127.0.0.1. A function with nothing but an httpTrigger and an
// http output gets the caller's own request (enableProxyingHttpRequest in host.json). Every other function gets
// POST /<Function> with an envelope {"Data":…,"Metadata":…} and must answer 2xx with a JSON object: an empty 200 never completes
// the invocation, and any other status fails it, which for Service Bus abandons the message.
//
//	router := customhandler.NewRouter(customhandler.Options{Log: log})
//	router.HTTP("GetOperation", "GET /api/operations/{id}", getOperation)
//	router.Timer("Nightly", nightly)
//	router.Message("RunOperation", runOperation)
//	listener, err := customhandler.Listen(ctx, port)
//	err = customhandler.Serve(ctx, listener, router, customhandler.ServeOptions{Log: log})
//
// Sources: Azure/azure-functions-host (dev branch, 2024-10) and the custom-handler pages of Microsoft's documentation. The payloads in
// testdata are written after the encodings described there and after captures by third parties; none was recorded against Azure.
package customhandler
