// Package processor is the core of Falconer: it folds raw Falco alerts into
// incidents and says what follows from each, as reports and mitigation tasks.
//
// It is a pure function of what it is given. It reads no clock, network, log,
// environment or random source, and it depends on the standard library alone.
// The live worker, the offline "analyze" and the "replay" of a stream run this
// same code, so that what one prints the others print too.
//
// Data flows one way: Decode turns bytes into an Alert, a Ledger folds alerts
// into Incidents and hands out Changes, and Changes hold the Reports and Tasks
// to publish. What an alert means is asked of a Book (package rules).
package processor
