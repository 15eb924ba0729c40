//go:build race

package engine_test

// The race detector makes the walks about ten times slower, and a tenth of them meets every pair of goroutines: make test runs them both ways.
const (
	walks        = 15
	raceDetector = true
)
