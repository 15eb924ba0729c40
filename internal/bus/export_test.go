package bus

// Prefix lets b send to entities whose names begin with prefix. The app's own names are fixed; a suite that runs in a namespace in Azure must
// not write into the queues of an app that may be there.
func Prefix(b *Bus, prefix string) {
	for _, l := range b.lanes {
		l.entity = prefix + l.entity
	}
}
