//go:build race

package usage

// The race detector makes it about ten times slower.
const many = 50_000
