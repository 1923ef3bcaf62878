// Package prompts is lists of what to make in a benchmark: a small one of our own, and files of
// users. The clips of a list are the same in each run, so a result names the list by its SHA-256,
// and results of different lists are not compared.
//
// A file has one prompt in a line, as the lists of VBench and MLPerf do, or one JSON object in a
// line, with more of a request:
//
//	a red ball over the sea
//	{"prompt": "a red ball", "size": "832x480", "frames": 81, "seed": 5, "priority": 10}
//
// A file is read strictly: what cannot be meant is an error with its line, since a benchmark that
// runs for hours should not end with a list that was half of what was thought.
package prompts
