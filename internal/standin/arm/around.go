package arm

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// deleted is a soft-deleted service.
type deleted struct {
	Service
	at time.Time
}

const purgedAfter = 48 * time.Hour // documented

var (
	groupPath       = regexp.MustCompile(`(?i)^(/subscriptions/[^/]+/resourceGroups/([^/]+))$`)
	permissionsPath = regexp.MustCompile(`(?i)^(/subscriptions/.+)/providers/Microsoft\.Authorization/permissions$`)
	statusPath      = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/providers/Microsoft\.ApiManagement/locations/[^/]+/operationsStatuses/([^/]+)$`)
	servicesPath    = regexp.MustCompile(`(?i)^(/subscriptions/[^/]+)/providers/Microsoft\.ApiManagement/service$`)
	deletedPath     = regexp.MustCompile(`(?i)^(/subscriptions/[^/]+)/providers/Microsoft\.ApiManagement/deletedservices$`)
)

// around reads a path that is not below a service; false: it is another one.
func (c *call) around(path string) bool {
	if c.r.Method != http.MethodGet {
		return false
	}
	if m := groupPath.FindStringSubmatch(path); m != nil {
		c.verb, c.id, c.group = ReadGroup, m[1], m[2]
		return true
	}
	if m := permissionsPath.FindStringSubmatch(path); m != nil {
		c.verb, c.id = ListPermissions, m[1]
		return true
	}
	if m := statusPath.FindStringSubmatch(path); m != nil {
		c.verb, c.id, c.operation, c.status = PollStatus, path, m[1], true
		return true
	}
	if m := servicesPath.FindStringSubmatch(path); m != nil {
		c.verb, c.id = ListServices, m[1]
		return true
	}
	if m := deletedPath.FindStringSubmatch(path); m != nil {
		c.verb, c.id = ListDeleted, m[1]
		return true
	}
	return false
}

func (s *Server) readGroup(c *call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, location := range s.cfg.Groups {
		if strings.EqualFold(name, c.group) {
			c.send(http.StatusOK, map[string]any{"id": c.id, "name": name, "type": "Microsoft.Resources/resourceGroups", "location": region(location),
				"properties": map[string]any{"provisioningState": "Succeeded"}})
			return nil
		}
	}
	return frontDoor(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.group)
}

// listPermissions lists what the caller may do in a scope, a permission for each role assignment.
func (s *Server) listPermissions(c *call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	grants := s.cfg.Grants
	if grants == nil {
		grants = []Grant{{Scope: c.id, Actions: []string{"*"}}}
	}
	list := []any{}
	for _, g := range grants {
		if g.reaches(c.id) {
			list = append(list, map[string]any{"actions": g.Actions, "notActions": []string{}, "dataActions": []string{}, "notDataActions": []string{}})
		}
	}
	c.send(http.StatusOK, map[string]any{"value": list})
	return nil
}

// listServices lists the services of a subscription, Config.ServicePage at a time.
func (s *Server) listServices(c *call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	skip, ok := count(c.r.URL.Query().Get("$skip"), 0, 0)
	if !ok {
		return invalid("$skip", "The paging is not valid.")
	}
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(s.services)) {
		if strings.HasPrefix(key, strings.ToLower(c.id)+"/") {
			list = append(list, s.services[key].resource(c.version, s.cfg.Now()))
		}
	}
	body := map[string]any{}
	end := len(list)
	if s.cfg.ServicePage > 0 {
		end = min(end, skip+s.cfg.ServicePage)
	}
	body["value"] = list[min(skip, end):end]
	if end < len(list) {
		q := c.r.URL.Query()
		q.Set("$skip", strconv.Itoa(end))
		body["nextLink"] = s.base(c) + c.r.URL.EscapedPath() + "?" + q.Encode()
	}
	c.send(http.StatusOK, body)
	return nil
}

// listDeleted lists the services of a subscription that can be brought back.
func (s *Server) listDeleted(c *call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(s.gone)) {
		d := s.gone[key]
		purge := d.at.Add(purgedAfter)
		if !strings.HasPrefix(key, strings.ToLower(c.id)+"/") || !s.cfg.Now().Before(purge) {
			continue
		}
		name := serviceID.FindStringSubmatch(d.ID)[2]
		list = append(list, map[string]any{"id": c.id + "/providers/Microsoft.ApiManagement/locations/" + region(d.Location) + "/deletedservices/" + name, "name": name,
			"type": "Microsoft.ApiManagement/deletedservices", "location": d.Location, "properties": map[string]any{"serviceId": d.ID,
				"scheduledPurgeDate": purge.UTC().Format(time.RFC3339), "deletionDate": d.at.UTC().Format(time.RFC3339)}})
	}
	c.send(http.StatusOK, map[string]any{"value": list})
	return nil
}

func (s *Server) listWorkspaces(c *call, v *service) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.SKU == "Consumption" {
		return notInTier(v.SKU)
	}
	list := []any{}
	for i := range v.Workspaces {
		name := fmt.Sprintf("wks%d", i+1)
		list = append(list, map[string]any{"id": v.ID + "/workspaces/" + name, "type": "Microsoft.ApiManagement/service/workspaces", "name": name,
			"properties": map[string]any{"displayName": name, "description": nil}})
	}
	c.send(http.StatusOK, map[string]any{"value": list, "count": len(list), "nextLink": ""})
	return nil
}

// GatewayHandler answers GET /<service>/status-0123456789abcdef as a gateway does: 200 and an empty body while there is such a service. A
// Service.GatewayURL of http://127.0.0.1:<port>/<service> leads to it. Faults strike as Gateway, also those of all verbs; of FailNext it
// knows nothing.
func (s *Server) GatewayHandler() http.Handler { return http.HandlerFunc(s.gateway) }

func (s *Server) gateway(w http.ResponseWriter, r *http.Request) {
	name, page, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	c := &call{w: w, r: r, service: name, verb: Gateway}
	defer s.record(c)
	f := s.fault(c)
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-r.Context().Done():
			return
		}
	}
	time.Sleep(f.Delay)
	switch {
	case f.Drop != DropNever:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		c.send(f.Status, nil)
	case r.Method == http.MethodGet && page == "status-0123456789abcdef" && s.named(name) != nil:
		c.send(http.StatusOK, nil)
	default:
		c.send(http.StatusNotFound, nil)
	}
}
