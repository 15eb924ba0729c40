// Package arm stands in for the part of Azure Resource Manager that backs up and restores API Management: services, backup, restore and the
// polls of both. It checks bearer tokens and actions, keeps time by the clock it is given, and reads and writes real blobs.
//
// Recorded, and held to the recordings by tests: the 202 without a body, with Location and Retry-After, for POST and polls; the forms of
// Location (2014-02-14 below backup/ or restore/ with an Azure-AsyncOperation header; 2016 to 2020 a double slash in the POST's only;
// %3D in polls up to 2017; a plain one since); the final 200 with the whole service and no Location; which fields each api-version shows;
// the ETag moving with each operation; "Updating" while one runs; the errors InvalidParameters for an account that does not resolve or
// does not let the service's identity in (checked before the lock), ServiceLocked (for PUT, PATCH and DELETE), ServiceNotFound and
// ResourceNotFound; error bodies without "error" around them up to 2019-01-01; a create's 201, and ActivationFailed as 400 on its poll.
//
// Reported in public issues: RestoreFailed for another SKU, as 400 on the poll (azure-powershell#25072); 403 on polls alone
// (azure-powershell#26536); MethodNotAllowedInPricingTier (azure-api-management-devops-resource-kit#849); the text that refuses an old
// api-version (vscode-apimanagement#343). Documented: 401, AuthorizationFailed, expiry after 30 days, throttling by token buckets, and
// operationsStatuses with Azure-AsyncOperation.
//
// Guessed: ServiceLocked for a second backup or restore (switch: Overlap); that a wrong key or a missing container is refused at once, and
// the words for it; BackupFailed, and RestoreFailed for a missing or unreadable backup; that the blob appears when the operation ends and
// an existing one is overwritten; the service's state after a failure; that the ETag moves when "Updating" appears and again at the end;
// every answer to PUT of an existing service, PATCH and DELETE; 404 OperationNotFound for forgotten results; the body of a refused token
// bucket. Nothing was compared with Azure itself.
package arm
