package doctor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor/broker/brokertest"
	"falconer/processor/stream"
	"falconer/processor/stream/doctor"
	"falconer/subjects"
)

// diagnose asks the doctor, on a connection of his own.
func diagnose(t *testing.T, js jetstream.JetStream, change ...func(*doctor.Config)) []doctor.Finding {
	t.Helper()
	cfg := doctor.Config{JS: js, Observe: 300 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	return doctor.Diagnose(t.Context(), cfg)
}

// of returns the findings of one check.
func of(findings []doctor.Finding, check string) (out []doctor.Finding) {
	for _, f := range findings {
		if f.Check == check {
			out = append(out, f)
		}
	}
	return out
}

// requireFinding requires a finding of a check and a level that says both things.
func requireFinding(t *testing.T, findings []doctor.Finding, level doctor.Level, check, found, next string) {
	t.Helper()
	require.True(t, slices.ContainsFunc(findings, func(f doctor.Finding) bool {
		return f.Level == level && f.Check == check && strings.Contains(f.Found, found) && strings.Contains(f.Next, next)
	}), "no %s of %s with %q and %q among\n%s", level, check, found, next, readable(findings))
}

func readable(findings []doctor.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s: %s -> %s\n", f.Level, f.Check, f.Found, f.Next)
	}
	return b.String()
}

func TestTheDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	start(t, connect())
	publish(t, js, 50)
	drained(t, js, 50)
	findings := diagnose(t, connect())
	require.Equal(t, doctor.OK, doctor.Worst(findings), readable(findings))
	for _, f := range findings {
		require.NotEmpty(t, f.Check)
		require.NotEmpty(t, f.Found, f.Check)
		require.Empty(t, f.Next, f.Check)
	}
	for _, check := range []string{
		"connection", "server", "jetstream", "permissions", "streams", "replicas", "clock", "alerts", "loops", "subjects", "retention",
		"headroom", "account", "workers", "partitions", "backlog", "lost alerts", "dead letters", "totals",
	} {
		require.Len(t, of(findings, check), 1, check)
	}
}

// states tells what each stream holds.
func states(t *testing.T, js jetstream.JetStream) map[string][3]uint64 {
	t.Helper()
	out := map[string][3]uint64{}
	for info := range js.ListStreams(t.Context()).Info() {
		out[info.Config.Name] = [3]uint64{info.State.LastSeq, info.State.Msgs, info.State.Bytes}
	}
	return out
}

func TestTheDoctorStoresNothing(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	publish(t, js, 20)
	before := states(t, js)
	require.Len(t, before, 4)
	heard, err := js.Conn().SubscribeSync(">")
	require.NoError(t, err)
	requireFinding(t, diagnose(t, connect()), doctor.OK, "permissions", "nothing stored", "")
	require.Equal(t, before, states(t, js))
	for range 7 { // what was tried arrives at subscribers, empty and marked
		for {
			m, err := heard.NextMsg(time.Second)
			require.NoError(t, err)
			if strings.HasPrefix(m.Subject, "falconer.") || strings.HasPrefix(m.Subject, "$KV.") {
				require.Empty(t, m.Data, m.Subject)
				require.Equal(t, "falconer.doctor", m.Header.Get(jetstream.ExpectedStreamHeader))
				break
			}
		}
	}
}

// scene is what may be broken.
type scene struct {
	t  *testing.T
	js jetstream.JetStream
}

func (s scene) setup(layout subjects.Layout) {
	_, err := stream.Setup(s.t.Context(), s.js, layout)
	require.NoError(s.t, err)
}

// edit changes a stream behind Falconer's back.
func (s scene) edit(name string, change func(*jetstream.StreamConfig)) {
	st, err := s.js.Stream(s.t.Context(), name)
	require.NoError(s.t, err)
	cfg := st.CachedInfo().Config
	change(&cfg)
	_, err = s.js.UpdateStream(s.t.Context(), cfg)
	require.NoError(s.t, err)
}

func (s scene) create(cfg jetstream.StreamConfig) {
	_, err := s.js.CreateStream(s.t.Context(), cfg)
	require.NoError(s.t, err)
}

func (s scene) store(m *nats.Msg) {
	_, err := s.js.PublishMsg(s.t.Context(), m)
	require.NoError(s.t, err)
}

func TestTheDoctorNamesWhatIsBrokenAndTheNextStep(t *testing.T) {
	for name, row := range map[string]struct {
		breaks func(scene)
		level  doctor.Level
		check  string
		found  string
		next   string
	}{
		"nothing was set up": {
			func(scene) {},
			doctor.Wrong, "streams", "nothing was set up here yet", "falconer setup",
		},
		"what cannot be looked at without streams is named once": {
			func(scene) {},
			doctor.Note, "not checked", "replicas, clock, alerts, subjects, retention, headroom, workers, partitions, backlog, lost alerts, dead letters, totals, consumers: the streams are not all there yet", "see streams",
		},
		"one stream is missing": {
			func(s scene) {
				s.setup(subjects.Layout{})
				require.NoError(s.t, s.js.DeleteStream(s.t.Context(), "KV_FALCONER_TASKS"))
			},
			doctor.Wrong, "streams", "KV_FALCONER_TASKS not there", "falconer setup",
		},
		"a stream has other settings": {
			func(s scene) {
				s.setup(subjects.Layout{})
				s.edit("FALCONER", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 3 })
			},
			doctor.Wrong, "streams", "stream FALCONER: max_msgs_per_subject is 3, want 1", "nats stream edit FALCONER",
		},
		"a bucket keeps the dead among the living": {
			func(s scene) {
				s.setup(subjects.Layout{})
				s.edit("KV_FALCONER_MEMBERS", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
			},
			doctor.Wrong, "streams", "KV_FALCONER_MEMBERS: max_age is 1h0m0s, want 15s", "nats stream edit KV_FALCONER_MEMBERS",
		},
		"somebody else made FALCO": {
			func(s scene) { s.create(jetstream.StreamConfig{Name: "FALCO", Subjects: []string{"falco.>"}}) },
			doctor.Wrong, "streams", "it was not made by falconer setup", "--source-stream",
		},
		"alerts are kept in another stream": {
			func(s scene) { s.create(jetstream.StreamConfig{Name: "MINE", Subjects: []string{"falco.>"}}) },
			doctor.Warn, "loops", "stream MINE takes falco.> already", "falconer setup --source-stream MINE",
		},
		"no alert was ever stored": {
			func(s scene) { s.setup(subjects.Layout{}) },
			doctor.Warn, "alerts", "no alert was ever stored", "curl -X POST http://FALCOSIDEKICK:2801/test",
		},
		"no alert is left": {
			func(s scene) {
				s.setup(subjects.Layout{})
				publish(s.t, s.js, 1)
				raw, err := s.js.Stream(s.t.Context(), "FALCO")
				require.NoError(s.t, err)
				require.NoError(s.t, raw.Purge(s.t.Context()))
			},
			doctor.Warn, "alerts", "FALCO holds no alert", "curl",
		},
		"an output came back as an alert": {
			func(s scene) {
				s.setup(subjects.Layout{})
				s.store(&nats.Msg{Subject: "falco.a.b", Header: nats.Header{"Falconer-Id": {"x/opened"}, "Falconer-Schema": {"report.v1"}}})
			},
			doctor.Wrong, "alerts", "the newest alert in FALCO is an output of Falconer", "find who does",
		},
		"the source is gone": {
			func(s scene) {
				s.create(jetstream.StreamConfig{Name: "MINE", Subjects: []string{"falco.>"}})
				s.setup(subjects.Layout{SourceStream: "MINE"})
				require.NoError(s.t, s.js.DeleteStream(s.t.Context(), "MINE"))
			},
			doctor.Wrong, "source", "stream MINE, from which FALCO takes alerts, is not there", "make it with the subject falco.>",
		},
		"the source is followed": {
			func(s scene) {
				s.create(jetstream.StreamConfig{Name: "MINE", Subjects: []string{"falco.>"}})
				s.setup(subjects.Layout{SourceStream: "MINE"})
				publish(s.t, s.js, 3)
			},
			doctor.OK, "source", "FALCO has all alerts of stream MINE", "",
		},
		"the source is a work queue": {
			func(s scene) {
				s.create(jetstream.StreamConfig{Name: "MINE", Subjects: []string{"falco.>"}, Retention: jetstream.WorkQueuePolicy})
				s.setup(subjects.Layout{SourceStream: "MINE"})
			},
			doctor.Warn, "source", "stream MINE has the retention WorkQueue", "limits",
		},
		"outputs are republished as alerts": {
			func(s scene) {
				s.setup(subjects.Layout{})
				s.edit("FALCONER", func(c *jetstream.StreamConfig) {
					c.RePublish = &jetstream.RePublish{Source: "falconer.report.>", Destination: "falco.again.>"}
				})
			},
			doctor.Wrong, "loops", "stream FALCONER republishes falconer.report.> to falco.again.>", "--no-republish",
		},
		"something is republished into Falconer's state": {
			func(s scene) {
				s.setup(subjects.Layout{})
				s.create(jetstream.StreamConfig{Name: "ODD", Subjects: []string{"odd.*"}, RePublish: &jetstream.RePublish{Source: "odd.*", Destination: "falconer.cursor.{{wildcard(1)}}"}})
			},
			doctor.Wrong, "loops", "stream ODD republishes to falconer.cursor.", "nats stream edit ODD",
		},
		"another stream takes Falconer's subjects": {
			func(s scene) {
				s.setup(subjects.Layout{})
				s.create(jetstream.StreamConfig{Name: "SPY", Subjects: []string{"falconer.other.>"}})
			},
			doctor.Warn, "loops", "stream SPY takes falconer.other.>", "nats stream edit SPY",
		},
		"outputs come back by way of the source": {
			func(s scene) {
				s.create(jetstream.StreamConfig{Name: "MINE", Subjects: []string{"falco.>"}})
				s.setup(subjects.Layout{SourceStream: "MINE"})
				s.edit("MINE", func(c *jetstream.StreamConfig) {
					c.Sources = []*jetstream.StreamSource{{Name: "FALCONER", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "falconer.report.>", Destination: "falco.>"}}}}
				})
			},
			doctor.Wrong, "loops", "stream MINE, which feeds FALCO, turns falconer.report.> into falco.>", "nats stream edit MINE",
		},
		"a rule comes under two subjects": {
			func(s scene) {
				s.setup(subjects.Layout{})
				start(s.t, s.js)
				for i, subject := range []string{"falco.warning.some_rule", "falco.team.warning.some_rule"} {
					s.store(&nats.Msg{Subject: subject, Data: fmt.Appendf(nil, `{"rule":"Some rule","priority":"Warning","output_fields":{"evt.time":%d}}`, i)})
				}
				drained(s.t, s.js, 2)
			},
			doctor.Warn, "subjects", " of rule Some rule in partitions 0, ", "falco.<priority>.<rule>",
		},
		"alerts are kept for minutes": {
			func(s scene) { s.setup(subjects.Layout{RawMaxAge: 10 * time.Minute}) },
			doctor.Warn, "retention", "FALCO keeps alerts for 10m", "--max-age 72h",
		},
		"alerts are kept for less than an incident and its return": {
			func(s scene) { s.setup(subjects.Layout{RawMaxAge: 30 * time.Hour}) },
			doctor.Note, "retention", "an incident and its return may span 48h", "--max-age 72h",
		},
		"the outputs' stream is nearly full": {
			func(s scene) {
				s.setup(subjects.Layout{OutputMaxBytes: 1 << 20})
				s.store(&nats.Msg{Subject: "falconer.report.info.a.b.opened", Data: make([]byte, 900<<10)})
			},
			doctor.Warn, "headroom", "FALCONER is 88 % full: 900.1 KiB of 1 MiB", "nats stream edit FALCONER --max-bytes",
		},
		"the outputs' stream is full": {
			func(s scene) {
				s.setup(subjects.Layout{OutputMaxBytes: 1 << 20})
				s.store(&nats.Msg{Subject: "falconer.report.info.a.b.opened", Data: make([]byte, 1010<<10)})
			},
			doctor.Wrong, "headroom", "FALCONER is 99 % full", "nats stream edit FALCONER --max-bytes",
		},
		"nobody works": {
			func(s scene) { s.setup(subjects.Layout{}); publish(s.t, s.js, 5) },
			doctor.Wrong, "workers", "no worker is running; 5 alerts wait", "falconer run",
		},
		"alerts were dropped before they were read": {
			func(s scene) {
				s.setup(subjects.Layout{Partitions: 1})
				publish(s.t, s.js, 5)
				raw, err := s.js.Stream(s.t.Context(), "FALCO")
				require.NoError(s.t, err)
				require.NoError(s.t, raw.Purge(s.t.Context(), jetstream.WithPurgeKeep(2)))
			},
			doctor.Wrong, "lost alerts", "partition 0: FALCO has dropped messages that nobody is known to have read", "--max-age",
		},
		"alerts were lost, and it is recorded": {
			func(s scene) {
				s.setup(subjects.Layout{Partitions: 1})
				publish(s.t, s.js, 5)
				raw, err := s.js.Stream(s.t.Context(), "FALCO")
				require.NoError(s.t, err)
				require.NoError(s.t, raw.Purge(s.t.Context(), jetstream.WithPurgeKeep(2)))
				start(s.t, s.js)
				drained(s.t, s.js, 2)
			},
			doctor.Warn, "lost alerts", "so far at most 3 alerts lost, in 1 gap", "falconer reports list",
		},
		"an alert was not understood": {
			func(s scene) {
				s.setup(subjects.Layout{})
				start(s.t, s.js)
				s.store(&nats.Msg{Subject: "falco.a.b", Data: []byte("no \x1b[31mJSON")})
				require.Eventually(s.t, func() bool { return totals(s.t, s.js).Dead == 1 }, 20*time.Second, 50*time.Millisecond)
			},
			doctor.Warn, "dead letters", "1 alert not understood, the newest", "falconer dead show 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t)
			row.breaks(scene{t, brokertest.JetStream(t, b)})
			requireFinding(t, diagnose(t, brokertest.JetStream(t, b)), row.level, row.check, row.found, row.next)
		})
	}
}

func TestTheDoctorHearsAlertsThatAreNotStored(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	scene{t, js}.edit("FALCO", func(c *jetstream.StreamConfig) { c.Subjects = []string{"falconer.tick.*"} })
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_ = js.Conn().Publish("falco.notice.a", nil)
			}
		}
	}()
	findings := diagnose(t, connect())
	close(stop)
	<-done
	requireFinding(t, findings, doctor.Wrong, "alerts", "of which stream FALCO stored 0", "nats stream info FALCO")
}

func TestTheDoctorHasAnEyeOnTheClock(t *testing.T) {
	_, connect := setup(t, subjects.Layout{})
	for by, want := range map[time.Duration]string{-time.Minute: "behind", time.Hour: "ahead of"} {
		findings := diagnose(t, connect(), func(c *doctor.Config) {
			c.Now = func() time.Time { return time.Now().Add(by) }
		})
		requireFinding(t, findings, doctor.Warn, "clock", want+" the server's", "timedatectl")
	}
}

func TestTheDoctorAsksForWhatWasAskedOfSetup(t *testing.T) {
	_, connect := setup(t, subjects.Layout{})
	findings := diagnose(t, connect(), func(c *doctor.Config) { c.Layout.RawMaxAge = 2 * time.Hour })
	requireFinding(t, findings, doctor.Wrong, "streams", "stream FALCO: max_age is 72h0m0s, want 2h0m0s", "nats stream edit FALCO")
}

func TestTheDoctorGivesTheErrorHandlerBack(t *testing.T) {
	_, connect := setup(t, subjects.Layout{})
	js := connect()
	heard := make(chan error, 1)
	js.Conn().SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { heard <- err })
	diagnose(t, js)
	js.Conn().ErrorHandler()(js.Conn(), nil, nats.ErrTimeout)
	require.ErrorIs(t, <-heard, nats.ErrTimeout)
}
