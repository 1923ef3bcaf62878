// Package result has the results of a benchmark of a video server: result.json, with everything
// that is needed to repeat the run and to judge it. [Read] and [Write] are the file, [Summarize]
// computes what is summed up from the requests' records, [Compare] tells two servers, or two
// versions of one, apart, and [Report] writes what people read.
//
// It knows no server and no load generator: they fill a [Result]. It has no clock and starts
// nothing; what it computes depends on its arguments and seeds alone.
//
// Units are part of the JSON's names (seconds, bytes, per_hour). Counts of operations are
// multiply-adds. What was not measured is absent from the file, and is never 0: fields in which 0
// could be measured are pointers.
package result
