package cli

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// fleetFlags say where the fleet is, or what it is where there is none.
type fleetFlags struct {
	file                                 string
	primaryID, targetID, storage, access string
}

func (f *fleetFlags) add(cmd *cobra.Command) {
	f.addFile(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.primaryID, "primary-id", "", "ARM id of the primary; with the next three in place of a fleet")
	flags.StringVar(&f.targetID, "target-id", "", "ARM id of the instance that is overwritten")
	flags.StringVar(&f.storage, "storage", "", "ACCOUNT/CONTAINER with the backups of the primary")
	flags.StringVar(&f.access, "access", "", "how API Management reaches it: systemAssigned | userAssigned:CLIENTID | storageKey:ENVVAR")
}

func (f *fleetFlags) addFile(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "fleet", "", "file with the fleet; without it FLEET or FLEET_FILE")
}

func (f *fleetFlags) made() bool {
	return f.primaryID != "" || f.targetID != "" || f.storage != "" || f.access != ""
}

// environ is the environment with the fleet that the flags name. What they say is checked where every fleet is.
func (f *fleetFlags) environ(environ []string) ([]string, error) {
	if !f.made() && f.file == "" {
		return environ, nil
	}
	environ = without(environ, "FLEET", "FLEET_FILE")
	switch {
	case f.made() && f.file != "":
		return nil, errors.New("--fleet together with --primary-id, --target-id, --storage or --access; accepted: one or the other")
	case f.file != "":
		path, err := filepath.Abs(f.file)
		return append(environ, "FLEET_FILE="+path), err
	case f.primaryID == "" || f.targetID == "" || f.storage == "" || f.access == "":
		return nil, errors.New("a fleet made of flags needs all of --primary-id, --target-id, --storage and --access")
	}
	fleet, err := json.Marshal(f.fleet())
	return append(environ, "FLEET="+string(fleet)), err
}

func (f *fleetFlags) fleet() any {
	type object map[string]any
	account, container, _ := strings.Cut(f.storage, "/")
	access, with, _ := strings.Cut(f.access, ":")
	storage := object{"account": account, "container": container, "access": access}
	switch {
	case with != "" && access == "storageKey":
		storage["keyVariable"] = with
	case with != "":
		storage["clientId"] = with
	}
	return object{
		"storages": object{"backups": storage},
		"plans":    object{"direct": object{"storage": "backups"}},
		"services": []object{{"id": f.primaryID, "plan": "direct", "secondaries": []object{{"id": f.targetID}}}},
	}
}

// explain tells which flag a path in a message about the fleet means.
func (f *fleetFlags) explain(err error) error {
	if err == nil || !f.made() {
		return err
	}
	return errors.Join(err, errors.New("the fleet was made of flags: --primary-id is FLEET.services[0].id, --target-id its secondaries[0].id, --storage and --access are FLEET.storages.backups"))
}
