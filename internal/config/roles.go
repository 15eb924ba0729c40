package config

import (
	"fmt"
	"slices"
	"strings"
)

// roles refuses a fleet in which one instance would be overwritten by what it must not receive. A name stands for one instance
// everywhere: names of API Management instances are unique in Azure.
func (b *builder) roles(services []Service) {
	at := func(i int, rest string) string { return fmt.Sprintf("%s.services[%d]%s", b.root, i, rest) }
	second := func(i, j int, rest string) string { return at(i, fmt.Sprintf(".secondaries[%d]%s", j, rest)) }

	listed, ids := map[string]int{}, map[string]Instance{}
	same := func(where string, in Instance) {
		before, ok := ids[fold(in)]
		if ok && !strings.EqualFold(before.ID, in.ID) {
			b.m.add(where, "holds the name %q, which stands for another instance elsewhere in the fleet (%s); accepted: one id a name", in.Name, before.ID)
		}
		if !ok {
			ids[fold(in)] = in
		}
	}
	secondaryOf := map[string][]int{} // services that list the instance as a secondary
	for i, s := range services {
		if s.Name == "" {
			continue // told already
		}
		if before, ok := listed[fold(s.Instance)]; ok {
			b.m.add(at(i, ".id"), "holds the name %q, as services[%d] does (case does not count); accepted: each service once", s.Name, before)
			continue
		}
		listed[fold(s.Instance)] = i
		same(at(i, ".id"), s.Instance)
		for j, sec := range s.Secondaries {
			switch {
			case sec.Name == "":
				continue
			case fold(sec.Instance) == fold(s.Instance):
				b.m.add(second(i, j, ".id"), "holds %q, the service itself; accepted: another instance", sec.Name)
				continue
			case slices.ContainsFunc(s.Secondaries[:j], func(o Secondary) bool { return fold(o.Instance) == fold(sec.Instance) }):
				b.m.add(second(i, j, ".id"), "holds %q a second time; accepted: each secondary once", sec.Name)
				continue
			}
			same(second(i, j, ".id"), sec.Instance)
			secondaryOf[fold(sec.Instance)] = append(secondaryOf[fold(sec.Instance)], i)
		}
	}
	for i, s := range services {
		b.drill(at(i, ".drillInstance"), s, listed, secondaryOf, same)
		for j, sec := range s.Secondaries {
			if s.Name == "" || sec.Name == "" || fold(sec.Instance) == fold(s.Instance) {
				continue
			}
			if others := slices.DeleteFunc(slices.Clone(secondaryOf[fold(sec.Instance)]), func(k int) bool { return k == i }); len(others) > 0 {
				b.m.add(second(i, j, ".id"), "holds %q, a secondary of services[%d] too, so that a failover of one would overwrite the other's; accepted: the secondary of one service",
					sec.Name, others[0])
			}
			k, ok := listed[fold(sec.Instance)]
			if !ok {
				continue
			}
			for _, back := range services[k].Secondaries {
				switch {
				case fold(back.Instance) != fold(s.Instance):
					b.m.add(second(i, j, ".id"), "holds %q, which is services[%d] and has a secondary of its own, so that a failover would overwrite what it serves; accepted: an instance that stands by and nothing else",
						sec.Name, k)
				case sec.Mode == Warm && back.Mode == Warm && i < k:
					b.m.add(second(i, j, ".mode"), "holds \"warm\" and closes a circle of warm standbys: %s → %s → %[1]s; accepted: no circle", fold(s.Instance), fold(sec.Instance))
				}
			}
		}
	}
}

// drill refuses a drill instance with any other role: drills overwrite it with whatever they prove, so that there is nothing in it to protect. Several
// services may share one, since drills take turns through its lock.
func (b *builder) drill(at string, s Service, listed map[string]int, secondaryOf map[string][]int, same func(string, Instance)) {
	if s.DrillInstance == nil || s.DrillInstance.Name == "" {
		return
	}
	in := *s.DrillInstance
	const only = "; accepted: an instance that serves drills alone"
	if fold(in) == fold(s.Instance) {
		b.m.add(at, "holds %q, the service itself%s", in.Name, only)
		return
	}
	if i, ok := listed[fold(in)]; ok {
		b.m.add(at, "holds %q, which is services[%d] and backed up%s", in.Name, i, only)
	}
	if of := secondaryOf[fold(in)]; len(of) > 0 {
		b.m.add(at, "holds %q, a secondary of services[%d]%s", in.Name, of[0], only)
	}
	same(at, in)
}

func fold(in Instance) string { return strings.ToLower(in.Name) }
