// Package plot draws the figures of reports and of docs/, as SVG in one style: [Lines] with bands
// and marks, and [Bars] that are stacked.
//
// Figures are read on pages at half of their width, by people who see colours differently, and in
// print. So texts are large for the size of the canvas, colours are those of Okabe and Ito, lines
// also differ by their dashes, axes name their units, and nothing is written over data: the legend
// and the labels of marks have rows of their own between title and figure. The same figure makes
// the same bytes, so that a page that is made again shows what changed.
package plot
