// Package usage keeps what API Management reports about its use: one file for each instance, report and day. What is due is decided by values alone
// (days.go, state.go); one day is streamed from the report into its file (export.go); a message is one turn of an instance (run.go). It owns the
// interfaces that it needs (ports.go) and knows neither HTTP nor Azure.
package usage
