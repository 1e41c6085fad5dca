//go:build unix

package test

import (
	"slices"
	"strings"
	"time"
)

// oracleSilence is a silence as one partition knows it.
type oracleSilence struct {
	ID       string    `json:"id"`
	Matchers []string  `json:"matchers"`
	Until    time.Time `json:"until"`
	ended    bool
}

// order follows an order to silence or to listen again.
func (o *oracle) order(m rawMessage) {
	o.silences = slices.DeleteFunc(o.silences, func(s *oracleSilence) bool { return !o.now.Before(s.Until) })
	order := decoded[struct {
		Add    *oracleSilence      `json:"add"`
		Expire struct{ ID string } `json:"expire"`
	}](m.data)
	id := order.Expire.ID
	if order.Add != nil {
		id = order.Add.ID
	}
	known := slices.IndexFunc(o.silences, func(s *oracleSilence) bool { return s.ID == id })
	switch {
	case order.Add == nil && known >= 0:
		o.silences[known].ended = true
	case order.Add != nil && known < 0 && o.now.Before(order.Add.Until):
		o.silences = append(o.silences, order.Add)
	}
}

// silenced reports whether a silence holds now that matches the alert.
func (o *oracle) silenced(a *seenAlert) bool {
	return slices.ContainsFunc(o.silences, func(s *oracleSilence) bool {
		return !s.ended && o.now.Before(s.Until) && !slices.ContainsFunc(s.Matchers, func(m string) bool { return !a.matches(m) })
	})
}

// matches holds one of the matchers that the mix uses against the alert.
func (a *seenAlert) matches(matcher string) bool {
	name, value, _ := strings.Cut(matcher, "=")
	switch name {
	case "rule":
		return a.Rule == value
	case "severity":
		return severities[a.severity()] == value
	}
	return a.derived(name) == value
}
