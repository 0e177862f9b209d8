// Stands in for the header of MindSpore's wheel with this name, which needs CANN's. The runner uses nothing of it.
