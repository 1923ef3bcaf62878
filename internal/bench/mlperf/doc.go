// Package mlperf runs the text-to-video task of MLPerf Inference (text_to_video/wan-2.2-t2v-a14b in
// mlcommons/inference) by its rules, and leaves what its submission checker reads.
//
// # Who does what
//
// The genuine LoadGen decides which prompt is asked for when, takes the times, judges them and
// writes the logs; nothing here computes a result. It is a library for C++ and Python, so it runs
// in a process of its own (tools/mlperf_sut.py), which asks for clips over pipes. That costs some
// ten microseconds of a clip. LoadGen reads its rules once per process, so each test has a process.
//
// What is answered for a clip is the SHA-256 of its file: LoadGen writes the bytes of an answer to
// the log of the accuracy test, whose form is for labels and texts. The videos themselves are files
// beside the log, which VBench reads.
//
// # What a submission is
//
// A submission has both scenarios, each with a performance test, an accuracy test and the
// compliance test TEST04 (one prompt again and again: a server that remembers answers is found out
// by its speed). [Task.Invalid] says what of a run is not as the rules want it: lowered counts,
// another model, another size. Such a run is a trial, and its logs say so.
package mlperf
