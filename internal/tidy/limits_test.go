package tidy

// Limits of the tree. They only ever become stricter: the change that brings the tree below one
// lowers it. Each count of exceptions is of those that the tree still has, so that no new one comes
// in; the aim after a limit is where it ends.
const (
	// A function is read in one piece.
	medianMax  = 10 // lines of a function
	p95Max     = 60 // lines of a function
	longestMax = 70 // lines of a function

	// A file fits in an editor with its outline, a line in half a screen.
	columnsMax = 100 // of a line of Go or Markdown
	wideProse  = 0   // lines of Markdown that may be wider
	wideTests  = 145 // lines of tests that may be wider; aim: 0
	fileMax    = 400 // lines of a Go file
	longFiles  = 0   // files that may be longer

	// A body beyond some lines has blank lines between its steps.
	longBody      = 15  // lines of a body that may be one paragraph
	unbrokenMax   = 0   // longer bodies that may have none
	paragraphsMin = 7.8 // percent of the lines of longer bodies that are blank

	// Shares of comments, in percent.
	commentsMin        = 15.0 // in the lines of the tree
	packageCommentsMin = 9.0  // in the lines of each package; main of longtake has ten lines
)
