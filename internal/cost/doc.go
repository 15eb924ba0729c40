// Package cost counts, on the local stack, what Azure would bill for a backup and for a pass of the watchdog, holds the counts to formulas, and recomputes
// with these formulas every figure of docs/cost.md. It holds no code beside its tests.
package cost
