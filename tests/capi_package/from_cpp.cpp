#define MODULE "from_cpp"
#define INIT PyInit_from_cpp
#include "from_c.c"
