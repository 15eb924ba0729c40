package broker

import "container/heap"

// messageHeap is a heap of messages that each know their place, so that any can be taken
// out. A place is one-based: zero means that the message is not in the heap.
type messageHeap struct {
	items []*message
	less  func(a, b *message) bool
	index func(*message) *int
}

func (h *messageHeap) Len() int           { return len(h.items) }
func (h *messageHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }

func (h *messageHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.index(h.items[i]), *h.index(h.items[j]) = i+1, j+1
}

func (h *messageHeap) Push(x any) {
	m := x.(*message)
	h.items = append(h.items, m)
	*h.index(m) = len(h.items)
}

func (h *messageHeap) Pop() any {
	last := len(h.items) - 1
	m := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	*h.index(m) = 0
	return m
}

func (h *messageHeap) push(m *message) { heap.Push(h, m) }

func (h *messageHeap) pop() *message { return heap.Pop(h).(*message) }

func (h *messageHeap) remove(m *message) {
	if i := *h.index(m); i > 0 {
		heap.Remove(h, i-1)
	}
}
