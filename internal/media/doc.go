// Package media turns frames into files and pictures into frames: WebM (VP8, written here without
// cgo), MP4 (through ffmpeg) and a zip of PNG pictures, which Unzip lays out as a folder;
// thumbnails, sheets and animations of finished clips; and PNG, JPEG and WebP pictures that users
// upload.
//
// An Encoder takes frames one by one and holds at most a second of them, so clips of any length are
// encoded in bounded memory. An interrupted WebM can be continued after its last whole second, with
// the bytes that one encoder would have written (Continue), and the seconds that exist can be
// played, with a header of their own (Opening).
//
// VP8 keeps half of the colours' resolution. The demo's clips come back from Chromium within 1.2 to
// 1.5 of 255 on average, from ffmpeg within 1.5 to 1.8, of which 1.1 is that half.
package media
