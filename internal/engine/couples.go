package engine

import (
	"slices"
	"strings"

	"apim-dr/internal/dr"
)

// couple is a configured pair: a service and one of its secondaries. Listed both ways round, the first is the home.
type couple struct {
	home, other dr.Instance
	warm        bool
	storage     dr.Storage // of the home's backups: a copy of the pair's record lies there
}

func (c couple) name() string { return dr.PairName(c.home.Name, c.other.Name) }

// partner is the other one of the two; false when the couple does not have that instance.
func (c couple) partner(name string) (dr.Instance, bool) {
	switch {
	case c.home.Is(name):
		return c.other, true
	case c.other.Is(name):
		return c.home, true
	}
	return dr.Instance{}, false
}

// recorded is p, or the pair of a couple of which there is no record. Which of the two is at home stands in the fleet.
func (c couple) recorded(p dr.Pair) dr.Pair {
	if p.Name == "" {
		return dr.NewPair(c.home.Name, c.other.Name)
	}
	p.Home = c.home.Name
	return p
}

// couplesWith lists the configured pairs that one of the instances belongs to, each once. It walks the fleet without building anything of it: it is
// asked for each service of a large fleet.
func (f Fleet) couplesWith(names ...string) []couple {
	var list []couple
	at := map[string]int{}
	for _, s := range f.Services {
		for _, sec := range s.Secondaries {
			if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(s.Name, name) || sec.Is(name) }) {
				continue
			}
			plan, _ := f.plan(s.Plan)
			c := couple{home: s.instance(), other: sec.Instance, warm: sec.Warm, storage: plan.Storage}
			if i, ok := at[c.name()]; ok {
				list[i].warm = list[i].warm || c.warm
				continue
			}
			at[c.name()] = len(list)
			list = append(list, c)
		}
	}
	return list
}

// couple finds the configured pair of two instances.
func (f Fleet) couple(a, b string) (couple, bool) {
	for _, c := range f.couplesWith(a) {
		if c.name() == dr.PairName(a, b) {
			return c, true
		}
	}
	return couple{}, false
}
