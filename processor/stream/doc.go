// Package stream runs the core on JetStream: it sets the streams up, divides
// the partitions of the raw stream among the live workers, and commits each
// partition's read position together with everything that follows from it in
// one atomic batch.
//
// Exactness rests on one thing: the compare-and-set of a partition's cursor.
// Whoever takes a partition first writes the cursor (the fence), so that every
// commit of an earlier owner, however late it comes, is refused whole. Who
// should own what is a matter of efficiency only.
package stream
