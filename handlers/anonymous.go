package handlers

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Anonymous names the HTTP functions of a staged app that the host lets anybody call, whom only built-in authentication keeps out then. The host starts the
// program in the folder that holds them; it is an error if there is none.
func Anonymous(app fs.FS) ([]string, error) {
	files, err := fs.Glob(app, "*/function.json")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no */function.json: %w", fs.ErrNotExist)
	}
	var open []string
	for _, file := range files {
		text, err := fs.ReadFile(app, file)
		if err != nil {
			return nil, err
		}
		var f struct {
			Bindings []struct{ Type, AuthLevel string }
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, b := range f.Bindings {
			if strings.EqualFold(b.Type, "httpTrigger") && strings.EqualFold(b.AuthLevel, "anonymous") {
				open = append(open, path.Dir(file))
			}
		}
	}
	return open, err
}
