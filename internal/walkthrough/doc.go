// Package walkthrough runs the commands of the documents as a reader would, against a local stack. It has tests only.
package walkthrough
