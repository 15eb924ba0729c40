// Package model explores what the product does when messages come twice, late, in another order or never, when processes are killed between any two
// of their calls, and when Resource Manager answers anything or nothing. It holds no code of its own beside its tests.
//
// The engine, the store and dr.Step are the real ones. An invocation is the sequence of answers that it has got so far: to know its next call, it is run
// again from the start with these answers, up to the first call that has none. So a state is plain data (blobs, messages, Resource Manager, the clock,
// the invocations in flight with their answers, and how many faults are left), and all orders of calls can be tried from it, breadth first.
package model
