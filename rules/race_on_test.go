//go:build race

package rules

// underRace is whether the race detector watches, under which everything takes ten
// times as long: tests that only read values back do a part of their work then.
const underRace = true
