/* Softmax in place of a buffer of floats, without Cython; `from_cpp.cpp` compiles it as C++. */
#define PY_SSIZE_T_CLEAN
#include <ffkernels.h>

#ifndef MODULE
#define MODULE "from_c"
#define INIT PyInit_from_c
#endif

static const ffkernels_api *ff;

static PyObject *softmax(PyObject *self, PyObject *arguments) {
    Py_buffer x;
    Py_ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "w*n", &x, &n)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    ff->softmax_f32(x.len / (n * (Py_ssize_t)sizeof(float)), n, (const float *)x.buf, (float *)x.buf);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&x);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"softmax", softmax, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, MODULE, NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC INIT(void) {
    ff = ffkernels_import();
    return ff ? PyModule_Create(&module) : NULL;
}
