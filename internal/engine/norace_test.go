//go:build !race

package engine_test

// walks is how many random walks a test takes, at least.
const (
	walks        = 150
	raceDetector = false
)
