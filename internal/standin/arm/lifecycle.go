package arm

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// write accepts a new service (201 as recorded) or a change of an old one (202). Looked at are location, SKU, tags and minApiVersion.
func (s *Server) write(c *call, v *service) *Error {
	var d struct {
		Location string
		Tags     map[string]string
		SKU      *struct {
			Name     string
			Capacity int
		}
		Properties struct {
			APIVersionConstraint *struct{ MinAPIVersion string }
		}
	}
	if json.Unmarshal(c.body, &d) != nil {
		return frontDoor(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
	}
	apply := func(v *service) {
		if d.Tags != nil {
			v.Tags = d.Tags
		}
		if d.SKU != nil {
			v.SKU, v.Capacity = d.SKU.Name, d.SKU.Capacity
		}
		if d.Properties.APIVersionConstraint != nil {
			v.MinAPIVersion = d.Properties.APIVersionConstraint.MinAPIVersion
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v != nil {
		return s.change(c, v, "Updating", apply)
	}
	v, err := newService(Service{ID: c.id, Location: d.Location, SKU: "?", ProvisioningState: "Created"}, s.cfg.Now())
	if err != nil || d.SKU == nil {
		return invalidParameter("Value cannot be null.", "sku or location", "")
	}
	apply(v)
	s.services[strings.ToLower(c.id)] = v
	delete(s.gone, strings.ToLower(c.id))
	body := v.resource(c.version, s.cfg.Now())
	body["properties"].(map[string]any)["targetProvisioningState"] = "Activating"
	op := s.begin(c, v, "Act", "Activating")
	op.apply = func(v *service) { v.ProvisioningState = "Succeeded" }
	s.pollHeaders(c, op)
	c.w.Header().Set("ETag", `"`+v.etagText()+`"`)
	c.send(http.StatusCreated, body)
	return nil
}

// change accepts an update or the end of a service; the caller holds s.mu.
func (s *Server) change(c *call, v *service, during string, apply func(*service)) *Error {
	if len(v.running) > 0 { // recorded
		return serviceLocked(v.name)
	}
	op := s.begin(c, v, during[:3], during)
	op.apply = apply
	s.pollHeaders(c, op)
	c.send(http.StatusAccepted, nil)
	return nil
}

// remove accepts the end of a service.
func (s *Server) remove(c *call, v *service) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(c, v, "Deleting", func(v *service) {
		delete(s.services, strings.ToLower(v.ID))
		s.gone[strings.ToLower(v.ID)] = deleted{v.Service, s.cfg.Now()}
	})
}

// Content is what a service, given by name, holds now: Service.Content or what a restore put in its place; empty for one that is not there.
func (s *Server) Content(service string) string {
	if v := s.named(service); v != nil {
		return v.Content
	}
	return ""
}

// named is a copy of a service, nil when it is not there.
func (s *Server) named(name string) *Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		if strings.EqualFold(v.name, name) {
			return new(v.Service)
		}
	}
	return nil
}

// Operations are all operations so far, oldest first. One that is due has not ended here before a request, or the real clock, ended it.
func (s *Server) Operations() []Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Operation, 0, len(s.operations))
	for _, op := range s.operations {
		list = append(list, op.Operation)
	}
	return list
}

// Requests are the latest requests, at most 10,000, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}
