package apim

import (
	"encoding/json"

	"apim-dr/internal/dr"
)

// Command is the request of a leg for somebody who sends it by hand.
type Command struct {
	URL  string
	Body string // JSON; in the place of a storage key stands "$" and Variable
	// Variable is the environment variable whose value belongs there; empty: the body is complete.
	Variable string
}

// Command is what Start would POST, without a key in it. The error is that of Start before anything is sent.
func (c *Client) Command(leg dr.Leg, point string) (Command, *dr.Error) {
	target, failure := c.target(leg.ResourceID, "/"+string(leg.Verb), c.o.APIVersion)
	if failure != nil {
		return Command{}, failure
	}
	access, failure := c.access(leg.Storage.Account)
	if failure != nil {
		return Command{}, failure
	}
	command := Command{URL: target}
	if access.Mode == AccessKey {
		command.Variable, access.Key = access.Variable, nil
		if access.Variable != "" {
			access.Key = func() string { return "$" + access.Variable }
		}
	}
	r, failure := c.body(access, leg.Storage, point)
	if failure != nil {
		return Command{}, failure
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Command{}, dr.Failure("InvalidBody", err.Error())
	}
	command.Body = string(body)
	return command, nil
}
