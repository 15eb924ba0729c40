// Package arm stands in for the part of Azure Resource Manager that backs up and restores API Management: services, backup, restore and the
// polls of both, and what is looked at around them: resource groups, workspaces, reports, soft-deleted services, the caller's permissions; and, beside ARM, for the status
// address of the gateways. It checks bearer tokens and actions, keeps time by the clock it is given, and reads and writes real blobs.
//
// Recorded, and held to the recordings by tests: the empty 202 with Location and Retry-After; the forms of Location (2014-02-14 below
// backup/ or restore/ with an Azure-AsyncOperation header; 2016 to 2020 a double slash in the POST's; %3D in polls up to 2017; plain since);
// the final 200 with the whole service; which fields each api-version shows (folder shapes), a system-assigned identity among them; the ETag
// moving with each operation; the errors InvalidParameters for an account that does not resolve or does not let the service's identity in
// (checked before the lock), ServiceLocked (for PUT, PATCH, DELETE), ServiceNotFound, ResourceNotFound; no "error" around error bodies up to
// 2019-01-01; a create's 201, and ActivationFailed as 400 on its poll; x-ms-failure-cause, and the names
// of the ratelimit headers. Each recorded error can be arranged, at once and as the end of an operation: Inject, FailNext.
//
// Reported: RestoreFailed for another SKU, as 400 on the poll (azure-powershell#25072); 403 on polls alone (azure-powershell#26536);
// MethodNotAllowedInPricingTier (azure-api-management-devops-resource-kit#849, of lists in Consumption Azure/apiops#686); the refusal of an
// old api-version (vscode-apimanagement#343); the words of SubscriptionRequestsThrottled, and 10 s for reads; that ValidationError has its
// reason in details alone (release notes of Az.ApiManagement).
//
// Documented: 401, AuthorizationFailed, the list of permissions, expiry after 30 days, that a restore leaves the settings of its target alone; the status address and
// its 200; by the 2024-05-01 swagger the lists of workspaces and of deleted services, with their 48 hours, and the fields of user-assigned
// identities, certificates, virtual network and additional locations; the reports, with $top and $skip, by the same swagger and its examples,
// an end that may be missing by the REST reference of 2017; the buckets of throttling, their sizes, that all principals share one of 15 times
// that size, and that who asks before Retry-After has passed is refused with a new value.
//
// Guessed: ServiceLocked for a second backup or restore (switch: Config.Overlap); that a wrong key, a missing container or an identity that
// the instance lacks is refused at once, and the words; BackupFailed, and RestoreFailed for a missing or unreadable backup; that the blob
// appears at the operation's end; the state after a failure; when exactly the ETag moves; the answers to PUT of an existing service, PATCH and
// DELETE; 404 for forgotten results; the body below Azure-AsyncOperation; that backups and restores are polled below the region, as creates of
// 2024-05-01 are (switch: Service.StatusPolls; their Location, InProgress and 20 s are reported), all else of such a poll, and that it needs
// its signature; that Consumption refuses the list of workspaces, and the others show an empty one; that a name that was deleted can be
// created anew at once; the words for a missing resource group; what a gateway answers anywhere but at its status address; which errors come
// from the "gateway" but for ResourceNotFound; that a bucket once empty refuses until it would be full again; that v2 tiers and Consumption
// refuse reports with 400 (404: Inject a Fault), the words and targets of their other refusals, that a report's count is that of all pages,
// and where its nextLink leads (switch: Config.ReportLinks). Reports sum up nothing and take no other filter than time, and $orderby is not
// looked at. Nothing was compared with Azure itself.
package arm
