package result

import "time"

// Version is the version of the schema that this package writes. It reads those from oldest on,
// which have less in them: 2 added what ranks do, and how alike clips are that are not equal.
const (
	Version = 2
	oldest  = 1
)

// Result is one run of a benchmark.
type Result struct {
	// Schema is the version.
	Schema int `json:"schema"`

	// Tool is what measured, which need not be of the server's version.
	Tool Tool `json:"tool"`

	// When the run started, and when its last request was done or given up.
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`

	// What was asked for, of whom, with which prompts. Two results are comparable if these agree.
	Scenario Scenario `json:"scenario"`
	Cohort   Cohort   `json:"cohort"`
	Dataset  Dataset  `json:"dataset"`

	// Pair says that the run took turns with one of another server; absent of a run of its own.
	Pair *Pair `json:"pair,omitempty"`

	// Requests are in the order in which they were planned.
	Requests []Request `json:"requests"`

	// Rates are the points of a sweep over arrival rates; absent in other scenarios.
	Rates []Rate `json:"rates,omitempty"`

	// Summary is computed of Requests by Summarize.
	Summary Summary `json:"summary"`

	// Fidelity says whether the clips were right; absent where nobody looked.
	Fidelity *Fidelity `json:"fidelity,omitempty"`

	// Faults are what was done to the servers while they worked; absent if nothing was.
	Faults *Faults `json:"faults,omitempty"`

	// Notes are sentences that a reader has to know, such as that the run was interrupted and resumed.
	Notes []string `json:"notes,omitempty"`
}

// Tool is the program that measured.
type Tool struct {
	// Name and Version of the load generator; the server's are in the cohort.
	Name    string `json:"name"`
	Version string `json:"version"`

	// Command is the command line that repeats the run, without keys and other secrets.
	Command []string `json:"command,omitempty"`
}

// Dataset is the list of prompts of which requests took theirs.
type Dataset struct {
	// Name is for people: results with the same SHA256 have the same prompts.
	Name string `json:"name"`

	// SHA256 is of the list's text, a prompt a line; 64 hexadecimal digits.
	SHA256 string `json:"sha256"`

	// Count is how many prompts the list has.
	Count int `json:"count"`
}

// Sides of a pair of runs.
const (
	SideA = "a"
	SideB = "b"
)

// Pair is of two runs that asked two servers for the same clips, one clip at a time: each index of
// one side right after the other, even ones of side a first, odd ones of side b.
type Pair struct {
	// ID is the same in both results, and in no others.
	ID string `json:"id"`

	// Side is "a" or "b".
	Side string `json:"side"`
}
