package stream

// faultPoint is a place in a worker's life at which tests make it fail. Only a
// build with the tag "faults" does anything there.
type faultPoint string

// The points, in the order in which a worker passes them.
const (
	atFenced  faultPoint = "fenced"  // the fence is written, nothing is loaded
	atLoading faultPoint = "loading" // some states are loaded
	atFolded  faultPoint = "folded"  // a commit is due, nothing of it is sent
	atHalf    faultPoint = "half"    // half of a batch is sent
	atSent    faultPoint = "sent"    // the batch is sent, its acknowledgement not read
	atAcked   faultPoint = "acked"   // it is stored, and this worker does not know it yet
)

// mutation is a guard that tests take out, to see that they notice.
type mutation string

const (
	noCompare   mutation = "no-compare"    // cursors and states are not compared before they are set
	noMark      mutation = "no-mark"       // ghosts of closed incidents are taken for open ones
	noBatch     mutation = "no-batch"      // a commit is single messages
	noFenceLoad mutation = "no-fence-load" // the states are not read up to the fence
)
