//go:build !race

package usage

const many = 2_000_000
