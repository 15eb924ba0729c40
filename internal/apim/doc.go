// Package apim is the client of Azure Resource Manager for what apim-dr asks of an API Management instance: start a backup or a
// restore, look once at the Location of one that runs, read the instance, look around it (resource group, workspaces, deleted
// services), and read its reports, whose bodies alone are streamed. Every answer, being out of reach included, comes back as a value, never as an error. A call is one request, but for the
// pages of deleted services: nothing is retried, nothing is waited for, no redirect is followed, and the bearer token goes to the
// configured endpoint only.
package apim
