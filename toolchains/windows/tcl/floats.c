/* On i386 UCRT has no functions of floats: Microsoft's math.h makes them of those of doubles. Those that Tk's reader of SVG takes.
   (-fno-builtin: else the compiler makes a call of the function itself of it.) */
#ifdef __i386__
#define OF_DOUBLE(name) \
    double name(double); \
    float name##f(float x) { return (float)name(x); }

OF_DOUBLE(acos)
OF_DOUBLE(ceil)
OF_DOUBLE(cos)
OF_DOUBLE(floor)
OF_DOUBLE(sin)
OF_DOUBLE(sqrt)
OF_DOUBLE(tan)

double fmod(double, double);
float fmodf(float x, float y) { return (float)fmod(x, y); }
#endif
