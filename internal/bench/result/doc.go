// Package result has the results of a benchmark of a video server: result.json, with everything
// that is needed to repeat the run and to judge it. [Read] and [Write] are the file, [Summarize]
// computes what is summed up from the requests' records, [Compare] tells two servers, or two
// versions of one, apart, and [Report] writes what people read.
//
// The statistics follow from what such runs are like. There are few samples, as clips take long, so
// nothing assumes that they are many: percentiles are marked where samples do not bound them, and
// intervals of few blocks are Student's. Samples that follow each other are alike, as machines
// drift, so a comparison draws runs or parts of runs and never single requests. And what is tested
// is decided before the figures are seen, or else equal servers would be told apart more often
// than the comparison says.
//
// The files, from the outside in: result.go, scenario.go, request.go, summary.go and faults.go are
// the types, whose comments are the schema's descriptions; read.go and check.go refuse what is no
// result. summarize.go, stats.go, rates.go and efficiency.go compute a summary of one run.
// comparable.go says which results may be compared, blocks.go how their requests are divided,
// metrics.go by which figures, and compare.go does it. report.go, reporttables.go, charts.go and
// benchmarks.go write what people and benchstat read.
//
// It knows no server and no load generator: they fill a [Result]. It has no clock and starts
// nothing; what it computes depends on its arguments and seeds alone.
//
// Units are part of the JSON's names (seconds, bytes, per_hour). Counts of operations are
// multiply-adds. What was not measured is absent from the file, and is never 0: fields in which 0
// could be measured are pointers.
package result
