// Package chaos runs the staged app under the local stack, with hundreds of operations, while a seeded killer kills the handler and lets Service Bus, Resource
// Manager and storage go wrong. In the end the records, the events and Resource Manager's own log are held against each other. It holds no code beside its
// tests.
package chaos
