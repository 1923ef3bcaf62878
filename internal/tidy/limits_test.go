package tidy

// Limits of the tree. They only ever become stricter: the change that brings the tree below one
// lowers it. Each count of exceptions is of those that the tree still has, so that no new one comes
// in.
const (
	// A function is read in one piece.
	medianMax  = 10 // lines of a function
	p95Max     = 60 // lines of a function
	longestMax = 70 // lines of a function

	// A file fits in an editor with its outline, a line in half a screen.
	columnsMax  = 100 // of a line of Go or Markdown
	wideTests   = 230 // lines of tests that may be wider
	wideProse   = 0   // lines of Markdown that may be wider
	fileMax     = 400 // lines of a Go file
	longFiles   = 8   // files that may be longer
	longBody    = 15  // lines beyond which a function's body must have paragraphs
	unbrokenMax = 640 // long bodies that may have none

	// Shares in percent.
	commentsMin        = 9.0 // comments in the lines of the tree
	packageCommentsMin = 3.0 // comments in the lines of each package
	paragraphsMin      = 0.0 // blank lines in the lines of long bodies
)
