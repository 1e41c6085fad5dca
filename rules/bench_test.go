package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// BenchmarkJudge and BenchmarkGrade show what one alert costs: it must not depend
// on how many playbooks there are.
func BenchmarkJudge(b *testing.B) {
	overMany(b, func(book *Book, a *processor.Alert) { book.Judge(a) })
}

func BenchmarkGrade(b *testing.B) {
	overMany(b, func(book *Book, a *processor.Alert) { book.Grade(a) })
}

func overMany(b *testing.B, do func(*Book, *processor.Alert)) {
	b.Helper()
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("playbooks=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			require.NoError(b, os.WriteFile(filepath.Join(dir, "many.yaml"), manyPlaybooks(n), 0o600))
			book := testBook(b, dir)
			a := shellAlert()
			b.ReportAllocs()
			for b.Loop() {
				do(book, a)
			}
		})
	}
}

// BenchmarkBuiltinJudge and the two below are about an alert as falcosidekick sends
// it, with a rule of Falco's or one of somebody's own.
func BenchmarkBuiltinJudge(b *testing.B) {
	book := builtin(b)
	eachUsual(b, func(a *processor.Alert) { book.Judge(a) })
}

func BenchmarkBuiltinGrade(b *testing.B) {
	book := builtin(b)
	eachUsual(b, func(a *processor.Alert) { book.Grade(a) })
}

func BenchmarkIdentity(b *testing.B) {
	book := builtin(b)
	eachUsual(b, func(a *processor.Alert) { book.Identity(a) })
}

// BenchmarkBuiltinGradeOfMany is about alerts of all the playbooks that are for
// rules of Falco about system calls, in turn: one operation is one alert.
func BenchmarkBuiltinGradeOfMany(b *testing.B) {
	book := builtin(b)
	var alerts []*processor.Alert
	for _, p := range book.playbooks {
		for _, rule := range p.Match.Rules {
			a := usualAlert(rule)
			if len(p.Examples) > 0 && p.Examples[0].Alert["source"] == "syscall" {
				alerts = append(alerts, a)
			}
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		book.Grade(alerts[i%len(alerts)])
	}
}

// BenchmarkGradeAtOnce is BenchmarkBuiltinGrade on all processors.
func BenchmarkGradeAtOnce(b *testing.B) {
	book := builtin(b)
	a := usualAlert("Terminal shell in container")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			book.Grade(a)
		}
	})
}

func eachUsual(b *testing.B, do func(*processor.Alert)) {
	b.Helper()
	for _, row := range []struct{ name, rule string }{{"falco", "Terminal shell in container"}, {"own", "Acme: payment service reads keys"}} {
		b.Run(row.name, func(b *testing.B) {
			a := usualAlert(row.rule)
			b.ReportAllocs()
			for b.Loop() {
				do(a)
			}
		})
	}
}

// usualAlert has the fields of a system call in a pod, of which one has no value.
func usualAlert(rule string) *processor.Alert {
	return &processor.Alert{
		Rule: rule, Source: "syscall", Priority: processor.Notice, Hostname: "node-7", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Output: "Notice: " + rule + " | evt_type=execve user=app user_uid=1000 user_loginuid=-1 process=sh proc_exepath=/bin/busybox parent=containerd-shim",
		Tags:   []string{"T1059", "container", "maturity_stable", "mitre_execution", "shell"},
		Fields: map[string]string{
			"container.id": "0123456789ab", "container.image.repository": "registry.example/shop/1", "container.image.tag": "v1.2.3", "container.name": "app",
			"evt.time": "1767323045000000000", "evt.type": "execve", "k8s.ns.name": "shop", "k8s.pod.name": "svc-000001-7c9d8f6b5c-x2k4p",
			"proc.cmdline": "sh -c run-job --number 00000001", "proc.cwd": "/srv", "proc.exepath": "/bin/busybox", "proc.name": "sh",
			"proc.pname": "containerd-shim", "proc.tty": "0", "user.loginuid": "-1", "user.name": "app", "user.uid": "1000",
		},
		Absent: []string{"fd.name"},
	}
}

// BenchmarkBuiltinAdvise is what a report says to do, filled from the alert.
func BenchmarkBuiltinAdvise(b *testing.B) {
	book, _ := loadAll(nil)
	a := shellAlert()
	a.Rule = "Terminal shell in container"
	b.ReportAllocs()
	for b.Loop() {
		book.Advise(a)
	}
}

// BenchmarkBuiltinReport is all that an alert costs which opens an incident, from
// its bytes to the report with its tasks: decoded, judged, advised and rendered.
func BenchmarkBuiltinReport(b *testing.B) {
	book, _ := loadAll(nil)
	l := processor.NewLedger(processor.Options{Book: book, Era: "era"})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		// A day between two lets the one before be closed and forgotten.
		at = at.Add(25 * time.Hour)
		m := processor.Message{Seq: seq, Time: at, Data: openingAlert(seq)}
		for !l.Fold(m, 900) {
			l.Take()
		}
	}
}

// openingAlert is an alert of a workload of its own.
func openingAlert(i uint64) []byte {
	return fmt.Appendf(nil, `{"hostname":"node-1","output":"Notice A shell was spawned in a container with an attached terminal","output_fields":{`+
		`"container.id":"0123456789ab","container.image.repository":"registry.example/shop/cart","container.name":"cart","k8s.ns.name":"shop",`+
		`"k8s.pod.name":"svc-%06d-7d4b9c6f5-x2x7k","proc.cmdline":"bash -i","proc.exepath":"/bin/bash","proc.name":"bash","proc.pname":"nginx","proc.tty":34816,"user.name":"root","user.uid":0},`+
		`"priority":"Notice","rule":"Terminal shell in container","source":"syscall","tags":["T1059","container","shell","mitre_execution"],"time":"2026-01-02T03:04:05Z"}`, i)
}

// shellAlert is an alert that playbook number 0 of manyPlaybooks is for.
func shellAlert() *processor.Alert {
	return &processor.Alert{
		Rule: "Rule 0", Source: "syscall", Priority: processor.Warning, Hostname: "node-1",
		Tags: []string{"container", "shell", "mitre_execution", "T1059"},
		Fields: map[string]string{
			"k8s.ns.name": "shop", "k8s.pod.name": "cart-7d4b9c6f5-x2x7k", "container.name": "cart", "container.id": "0123456789ab",
			"proc.name": "bash", "proc.cmdline": "bash -i", "proc.pname": "nginx", "proc.exepath": "/bin/bash", "user.name": "root", "user.uid": "0",
		},
	}
}

func manyPlaybooks(n int) []byte {
	var b strings.Builder
	b.WriteString("playbooks:\n")
	for i := range n {
		fmt.Fprintf(&b, `
  - id: rule-%[1]d
    version: 1
    title: Rule %[1]d
    match: {rules: [Rule %[1]d]}
    category: execution
    attack: [{id: T1059.004, why: a shell, instead: T1059}]
    adjust:
      - {when: 'f("user.uid") == "0"', add: 15, why: root}
      - {when: 'f("proc.pname") in ["nginx", "httpd"]', add: 10, why: a web server is the parent}
      - {when: 'f("proc.cmdline") matches "-[a-z]*i"', add: 5, why: an interactive shell}
    benign:
      - {cause: A person., tell: Ask., when: 'has("proc.tty") and num("proc.tty") > 0'}
    meaning: The command was {proc.cmdline}.
    next: Look.
`, i)
	}
	return []byte(b.String())
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = loadAll(nil)
	}
}
