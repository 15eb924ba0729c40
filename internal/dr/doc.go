// Package dr decides and never acts. An Operation is the whole record of one backup, restore, failover or drill; Step takes it, what was just seen and the time,
// and returns the new record with the one thing to do next. There is no I/O, no clock and no Azure in here, so that every
// place where a kill can fall is a value that a test can build.
package dr
