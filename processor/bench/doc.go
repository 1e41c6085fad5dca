// Package bench measures Falconer from outside, on real servers and workers: how
// many alerts a second are folded, what that costs beside merely reading them,
// and how long after an alert its report stands.
//
// It makes alerts from a seed, keeps them in streams of its own, watches how far
// the workers have come, and checks by the sums that every alert was counted once.
// Who starts servers and workers is its caller's business.
package bench
