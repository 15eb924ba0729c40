package cli

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"apim-dr/internal/dr"
)

func (o Options) addCatalog(root *cobra.Command, verbose *bool) {
	group := &cobra.Command{Use: "catalog", Short: "The records of recovery points"}
	root.AddCommand(group)
	var fleet fleetFlags
	var storage, output string
	cmd := &cobra.Command{
		Use: "rebuild", Short: "Make the records of the state storage anew from what lies beside the backups", Args: cobra.NoArgs,
		Long: "Makes the records of recovery points, and of which instance is active, anew in the state storage (STATE_STORAGE or STATE_STORAGE__blobServiceUri) from the\n" +
			"copies that lie beside the backups. For when the state storage was lost. What is recorded already stays unless it is older.\n\n" +
			"Exit status:\n  0  everything was read\n  1  usage or configuration, or something could not be read",
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer o.stopping(cmd.Context())()
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			environ, err := fleet.environ(o.Environ)
			if err != nil {
				return err
			}
			setup, err := o.Stamp(environ, o.log(*verbose))
			if err != nil {
				return err
			}
			chosen, err := choose(setup.Storages, storage)
			if err != nil {
				return err
			}
			o.warnings(setup)
			if err := setup.Login(cmd.Context()); err != nil {
				return err
			}
			var storages []dr.Storage
			for _, s := range chosen {
				storages = append(storages, s.Storage)
			}
			return o.rebuilt(chosen, read(cmd.Context(), setup.Engine, storages), output)
		},
	}
	fleet.addFile(cmd)
	cmd.Flags().StringVar(&storage, "storage", "", "name of one storage of the fleet; without it all of them")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table | json")
	group.AddCommand(cmd)
}

// choose is the storage with that name, or all.
func choose(all []Storage, name string) ([]Storage, error) {
	if name == "" {
		return all, nil
	}
	var names []string
	for i, s := range all {
		if s.Name == name {
			return all[i : i+1], nil
		}
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("--storage %q; accepted: %s", name, join(names))
}

func (o Options) rebuilt(chosen []Storage, list []found, output string) error {
	type row struct {
		Name string `json:"name"`
		dr.Storage
		Points int      `json:"recoveryPoints"`
		Pairs  int      `json:"pairs"`
		Bad    []string `json:"unreadable,omitempty"`
		Error  string   `json:"error,omitempty"`
	}
	var rows []row
	whole := true
	for i, f := range list {
		r := row{Name: chosen[i].Name, Storage: f.storage, Points: f.Points, Pairs: f.Pairs, Bad: f.Bad}
		if f.err != nil {
			r.Error = f.err.Error()
		}
		whole = whole && f.err == nil && len(f.Bad) == 0
		rows = append(rows, r)
	}
	if output == "json" {
		if err := json.NewEncoder(o.Out).Encode(map[string]any{"storages": rows}); err != nil {
			return err
		}
	} else {
		t := table(o.Out)
		fmt.Fprintln(t, "STORAGE\tCONTAINER\tRECOVERY POINTS\tPAIRS\tUNREADABLE")
		for _, r := range rows {
			fmt.Fprintf(t, "%s\t%s/%s\t%d\t%d\t%d\n", r.Name, r.Account, r.Container, r.Points, r.Pairs, len(r.Bad))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, r := range rows {
		for _, bad := range r.Bad {
			fmt.Fprintf(o.Err, "%s: not read: %s\n", r.Name, clean(bad))
		}
		if r.Error != "" {
			fmt.Fprintf(o.Err, "%s: the rest was not read: %s\n", r.Name, clean(r.Error))
		}
	}
	if !whole {
		return end(Usage, "Not everything could be read. What was read is recorded; the command can be repeated.")
	}
	return nil
}

func (o Options) warnings(s Setup) {
	for _, w := range s.Warnings {
		fmt.Fprintln(o.Err, "warning: "+clean(w))
	}
}
