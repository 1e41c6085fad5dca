package processor

import (
	"container/heap"
	"time"
)

// dueEntry is a place in the queue. Its due may be earlier than the incident's,
// never later: refresh corrects it when it comes to the front.
type dueEntry struct {
	due         time.Time
	id          string
	fingerprint string
}

type dueQueue []dueEntry

func (q dueQueue) Len() int { return len(q) }

func (q dueQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q dueQueue) Less(i, j int) bool {
	return Mark{q[i].due, q[i].id}.compare(Mark{q[j].due, q[j].id}) < 0
}

func (q *dueQueue) Push(x any) { *q = append(*q, x.(dueEntry)) }

func (q *dueQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// refresh brings an entry to the front that is true: entries of incidents that
// were replaced are dropped, and those that lived on are put back.
func (q *dueQueue) refresh(incidents map[string]*Incident) {
	for len(*q) > 0 {
		front := (*q)[0]
		in := incidents[front.fingerprint]
		switch {
		case in == nil || in.ID != front.id:
			heap.Pop(q)
		case in.due().After(front.due):
			(*q)[0].due = in.due()
			heap.Fix(q, 0)
		default:
			return
		}
	}
}
