//go:build race

package usage

const many = 200_000
