package io.mingjing.phone;

import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Rect;
import android.graphics.drawable.Drawable;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ScrollView;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.HashSet;
import java.util.Set;

/** A whole page as a PNG, for people to look at. */
final class Picture {
    private Picture() {
    }

    static void draw(Activity activity, String name) throws IOException {
        ViewGroup page = activity.findViewById(android.R.id.content);
        View content = ((ScrollView) page.getChildAt(0)).getChildAt(0);
        Drawable ground = activity.getWindow().getDecorView().getBackground();
        // A dialog's ground is inset.
        Rect inset = new Rect();
        ground.getPadding(inset);
        int width = 720 - inset.left - inset.right;
        content.measure(View.MeasureSpec.makeMeasureSpec(width, View.MeasureSpec.EXACTLY),
                View.MeasureSpec.makeMeasureSpec(0, View.MeasureSpec.UNSPECIFIED));
        content.layout(0, 0, width, content.getMeasuredHeight());
        content.jumpDrawablesToCurrentState();
        int height = inset.top + content.getHeight() + inset.bottom;
        Bitmap picture = Bitmap.createBitmap(720, height, Bitmap.Config.ARGB_8888);
        Canvas canvas = new Canvas(picture);
        ground.setBounds(0, 0, 720, height);
        ground.draw(canvas);
        canvas.translate(inset.left, inset.top);
        content.draw(canvas);
        Set<Integer> colors = new HashSet<>();
        for (int y = 0; y < picture.getHeight(); y += 3) {
            for (int x = 0; x < 720; x += 3) {
                colors.add(picture.getPixel(x, y));
            }
        }
        assertTrue("an empty picture", colors.size() > 10);
        File dir = new File(System.getProperty("mingjing.pictures"));
        dir.mkdirs();
        try (FileOutputStream out = new FileOutputStream(new File(dir, name + ".png"))) {
            picture.compress(Bitmap.CompressFormat.PNG, 100, out);
        }
    }
}
