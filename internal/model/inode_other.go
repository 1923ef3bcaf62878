//go:build !linux

package model

import "os"

// inode is empty where the standard library does not give it in the same way on all systems.
func inode(os.FileInfo) string { return "" }
