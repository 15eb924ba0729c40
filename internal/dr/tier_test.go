package dr

import "testing"

func TestSupportsBackupRefusesTheTiersWithout(t *testing.T) {
	for tier, supported := range map[string]bool{
		"Developer": true, "Basic": true, "Standard": true, "Premium": true, "": true, "Isolated": true,
		"Consumption": false, "consumption": false, "BasicV2": false, "StandardV2": false, "PremiumV2": false, "standardv2": false,
	} {
		err := SupportsBackup(ServiceView{SKU: tier})
		if (err == nil) != supported || err != nil && (err.Code != "SkuNotSupported" || err.Source != "apim-dr") {
			t.Errorf("%s: %v", tier, err)
		}
	}
}

func TestAcceptsVersionComparesWithTheConstraint(t *testing.T) {
	for _, tt := range []struct {
		least, ours string
		accepted    bool
	}{
		{"", "2014-02-14", true}, {"2019-01-01", "2024-05-01", true}, {"2024-05-01", "2024-05-01", true}, {"2024-05-01-preview", "2024-05-01", true},
		{"2024-05-01", "2022-08-01", false}, {"2021-08-01", "2021-08-01-preview", false}, {"2025-01-01-preview", "2024-05-01", false}, {"soon", "2024-05-01", true},
	} {
		err := AcceptsVersion(ServiceView{MinVersion: tt.least}, tt.ours)
		if (err == nil) != tt.accepted || err != nil && err.Code != "ApiVersionTooOld" {
			t.Errorf("least %q, ours %q: %v", tt.least, tt.ours, err)
		}
	}
}
