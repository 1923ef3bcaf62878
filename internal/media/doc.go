// Package media turns frames into files: WebM (VP8, written here without cgo), MP4 (through ffmpeg)
// and a zip of PNG pictures, which Unzip lays out as a folder.
//
// An Encoder takes frames one by one and holds at most a second of them, so clips of any length
// encode in bounded memory. A WebM that was given up can be gone on with from
// its last whole second.
package media
