//go:build !race

package usage

// many records are in the report whose export must not need more memory than others.
const many = 2_000_000
