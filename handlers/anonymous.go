package handlers

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"apim-dr/internal/principal"
)

// Anonymous names the HTTP functions of a staged app that the host lets anybody call, whom only built-in authentication keeps out then. Those that are for
// anybody, since what they answer with holds no data, are left out where their folder has their own route and no other: with another one the host would let
// anybody call what stands there. The host starts the program in the folder that holds them; it is an error if there is none.
func Anonymous(app fs.FS) ([]string, error) {
	files, err := fs.Glob(app, "*/function.json")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no */function.json: %w", fs.ErrNotExist)
	}
	open, harmless := []string(nil), forAnybody()
	for _, file := range files {
		text, err := fs.ReadFile(app, file)
		if err != nil {
			return nil, err
		}
		var f struct {
			Bindings []struct{ Type, AuthLevel, Route string }
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, b := range f.Bindings {
			name := path.Dir(file)
			if strings.EqualFold(b.Type, "httpTrigger") && strings.EqualFold(b.AuthLevel, "anonymous") && (b.Route == "" || b.Route != harmless[name]) {
				open = append(open, name)
			}
		}
	}
	return open, err
}

// forAnybody are the routes of the functions that need no role, by name, as function.json has them.
func forAnybody() map[string]string {
	routes := map[string]string{}
	for _, f := range new(App).Table() {
		if f.Role == principal.Anybody {
			_, routes[f.Name], _ = strings.Cut(f.Pattern, "/api/")
		}
	}
	return routes
}
