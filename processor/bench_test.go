package processor

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

// benchAlert is about as long as the alerts of a real cluster.
func benchAlert(i int) []byte {
	return alertJSON(shellRule, epoch.Add(time.Duration(i)), fields{
		"output":        "12:00:00.000000000: Notice A shell was spawned in a container with an attached terminal | evt_type=execve user=daemon user_uid=2 process=sh",
		"proc.pcmdline": "containerd-shim -namespace k8s.io -id ac7c5359a04b5c8f", "proc.aname[2]": "containerd", "proc.tty": 34816,
		"user.loginuid": -1, "evt.arg.flags": "EXE_LOWER_LAYER", "container.image.tag": "3.20", "fd.name": nil,
		"k8s.pod.name": fmt.Sprintf("web-7c5ddbdf54-x2v%ck", "bcdfghjk"[i%8]), "uuid": "5d8f4f3e-6a3c-4c7e-9d3a-0b8f6b1c2d3e",
	})
}

func BenchmarkDecode(b *testing.B) {
	data := benchAlert(1)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	a := mustDecode(b, benchAlert(1))
	b.ReportAllocs()
	for b.Loop() {
		Fingerprint(a, Identity{Version: 1})
	}
}

func BenchmarkEventHash(b *testing.B) {
	a := mustDecode(b, benchAlert(1))
	b.ReportAllocs()
	for b.Loop() {
		eventHash(a)
	}
}

func BenchmarkRedact(b *testing.B) {
	for _, row := range []struct {
		name string
		over fields
	}{
		{"nothing to hide", nil},
		{"a URL", fields{"proc.cmdline": "wget -q http://10.0.0.7:8080/a/b.sh -O /tmp/b.sh"}},
		{"a path with a word", fields{"proc.cmdline": "cat /etc/passwd", "fd.name": "/etc/passwd"}},
		{"an output with words", fields{
			"output": "12:00:00.000000000: Warning Grep private keys or passwords activities found | evt_type=execve user=root user_uid=0 user_loginuid=-1 " +
				"process=find proc_exepath=/usr/bin/find parent=sh command=find / -name id_rsa terminal=0 container_id=ac7c5359a04b",
			"rule": "Search Private Keys or Passwords", "proc.cmdline": "find / -name id_rsa",
		}},
		{"a password", fields{"proc.cmdline": "mysql --password hunter2"}},
	} {
		b.Run(row.name, func(b *testing.B) {
			whole := mustDecode(b, alertJSON(shellRule, epoch, row.over))
			a := *whole
			a.Fields = maps.Clone(whole.Fields)
			b.ReportAllocs()
			for b.Loop() {
				a.redact(RedactStandard)
				if len(a.Notes) > len(whole.Notes) { // something was hidden: show it again
					maps.Copy(a.Fields, whole.Fields)
					a.Output, a.Notes = whole.Output, whole.Notes
				}
			}
		})
	}
}

func BenchmarkHarmless(b *testing.B) {
	for name, text := range map[string]string{
		"a name": "containerd-shim", "a path": "/etc/passwd", "a command": "sh -c mkdir -p /var/library/kubernetes && ps -ef",
		"an output": "12:00:00.000000000: Warning Grep private keys or passwords activities found | evt_type=execve user=root user_uid=0 user_loginuid=-1 " +
			"process=find proc_exepath=/usr/bin/find parent=sh command=find / -name id_rsa terminal=0 container_id=ac7c5359a04b",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if !harmless(text) {
					b.Fatal("something to hide")
				}
			}
		})
	}
}

// BenchmarkFoldMerged is the path of nearly every alert of a flood: an incident
// is open, and no report is due.
func BenchmarkFoldMerged(b *testing.B) {
	const distinct = 4096
	alerts := make([][]byte, distinct)
	for i := range alerts {
		alerts[i] = benchAlert(i)
	}
	l := NewLedger(Options{Book: testBook{}, Era: "era"})
	b.SetBytes(int64(len(alerts[0])))
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		m := Message{Seq: seq, Time: epoch, Data: alerts[seq%distinct]}
		if seq++; !l.Fold(m, 900) {
			l.Take()
		}
	}
}

// BenchmarkFoldOpening is the dear path: every alert opens an incident, with a
// report and a task.
func BenchmarkFoldOpening(b *testing.B) {
	l := NewLedger(Options{Book: testBook{}, Era: "era"})
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		b.StopTimer()
		seq++
		m := Message{Seq: seq, Time: epoch.Add(time.Duration(seq) * time.Second), Data: alertJSON(shellRule, epoch, fields{"k8s.ns.name": fmt.Sprintf("ns%d", seq)})}
		b.StartTimer()
		for !l.Fold(m, 900) {
			l.Take()
		}
	}
}

// BenchmarkRender is what a person reads of a report, written once for each, and of
// its task, on the page that a ledger has.
func BenchmarkRender(b *testing.B) {
	r := reportOf(b, benchAlert(1))
	p := &page{}
	b.Run("report", func(b *testing.B) {
		b.SetBytes(int64(len(r.Markdown)))
		b.ReportAllocs()
		for b.Loop() {
			p.report(&r)
		}
	})
	b.Run("task", func(b *testing.B) {
		p.report(&r)
		m, steps := &r.Advice.Mitigations[0], p.steps[0].of(r.Markdown)
		b.SetBytes(int64(len(p.task(&r, m, steps))))
		b.ReportAllocs()
		for b.Loop() {
			p.task(&r, m, steps)
		}
	})
}

// BenchmarkFoldKnown shows that an alert of one of many known incidents costs no more
// than one of few: what remains is that memory is slower than a cache.
func BenchmarkFoldKnown(b *testing.B) {
	for _, known := range []int{1_000, 30_000, 1_000_000} {
		b.Run(fmt.Sprintf("incidents=%d", known), func(b *testing.B) {
			o := Options{Book: testBook{}, Era: "era"}
			alert := func(i int) *Message {
				m := &Message{Seq: uint64(i), Time: epoch, Data: alertJSON(shellRule, epoch.Add(time.Duration(i)), fields{"k8s.ns.name": fmt.Sprintf("ns-%d", i%known)})}
				o.Prepare(m)
				return m
			}
			incidents := make([]*Incident, known)
			for i := range incidents {
				fp := alert(i).digest.fingerprint
				incidents[i] = &Incident{
					Schema: IncidentSchema, ID: incidentID(string(fp[:]), uint64(i), "era"), Fingerprint: string(fp[:]), Severity: CriticalSeverity,
					Opened: epoch, Last: epoch, End: epoch.Add(DefaultIdle), Idle: DefaultIdle, Cap: DefaultCap, Reopen: DefaultReopen,
					Count: 1000, Samples: make([]Sample, maxSamples), Recent: make(Hashes, maxRecent),
				}
			}
			l := NewLedger(o)
			l.Restore(Cursor{}, incidents, Silences{})
			// Alerts of incidents all over the place, in an order that no cache foresees.
			const alerts = 8192
			msgs := make([]*Message, alerts)
			for i := range msgs {
				msgs[i] = alert(int(uint64(i) * 2654435761 % uint64(known)))
				msgs[i].digest = digest{}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m := *msgs[i%alerts]
				m.Seq = uint64(i)
				if !l.Fold(m, 900) {
					b.StopTimer()
					l.Take()
					b.StartTimer()
				}
			}
		})
	}
}
